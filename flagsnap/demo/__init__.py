"""`flagsnap demo`: a server and a Django project made for the moment, and the story told with them."""
