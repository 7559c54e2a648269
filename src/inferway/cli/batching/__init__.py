"""`inferway batch`: a file of calls, made side by side, whose answers survive any end of the program."""
