"""What ds2 knows of git and DVC, which run its stages and record what they made."""
