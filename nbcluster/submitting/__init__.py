"""From a function and an input to a stored job, or to the plan of one."""
