"""The probe: runs inside the Django project, answers with the migration graph, and unapplies migrations.

flagsnap sends these modules, followed by a call of `main`, to `manage.py shell` on standard input (`bridge.bundle`);
flagsnap itself never imports them. They use Django and the standard library only, and are written for Python 3.8 and
Django 3.2 onwards. Every answer is one line of JSON between the sentinels that flagsnap chose for this run, since
projects print banners and logs on the same stream.
"""
