"""One Django project for each kind of subject, in one file each."""
