"""What is told of a training while it runs and afterwards: log lines, a bar, curves, VisualDL, speed and memory."""
