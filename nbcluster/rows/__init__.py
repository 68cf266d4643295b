"""From what a function returns to the rows of a table: names, kinds of columns, and bytes that need no pickle."""
