"""`tfdfd doctor --gpu`: shows on the machine itself that the whole GPU path works, a process a check."""
