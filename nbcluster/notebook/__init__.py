"""The notebook's side: the magics and the live view.  The only room that imports IPython and ipywidgets.

Nothing here decides anything about a job: a magic parses its line, calls ``nbcluster.api`` and shows the answer.
``header``, ``body``, ``arguments`` and ``model`` are plain functions of text and values, without a notebook.
"""
