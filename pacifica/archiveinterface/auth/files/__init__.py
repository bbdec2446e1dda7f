"""Files of the site: who may do what, passwords and tokens; read again when they have changed."""
