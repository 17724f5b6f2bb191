"""Arrays in, numbers out: the measures, and the table that says what each of them is."""
