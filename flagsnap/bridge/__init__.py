"""The bridge: the only way to the Django project. flagsnap runs its `manage.py`, and never imports it."""
