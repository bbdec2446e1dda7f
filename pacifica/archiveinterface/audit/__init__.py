"""The audit log: who has changed what, in lines that nobody can change unseen."""
