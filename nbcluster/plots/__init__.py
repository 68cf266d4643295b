"""Pictures of jobs.  The only room that imports matplotlib, and imported only when a picture is asked for."""
