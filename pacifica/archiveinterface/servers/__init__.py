"""The ways to serve the application: the launcher and uWSGI, each with what is special to it."""
