"""A page on this machine where kernels are edited, checked, judged and played: `tinycnn lab`.

folder.py   the student's files: which names are allowed, and saving without losing anything
work.py     the commands that a button stands for, one at a time a file
app.py      what a request is answered with, and which are refused
serve.py    the server, from its start to Ctrl-C
page/       the page, its style and its script
vendor/     CodeMirror, the editor, unchanged
"""
