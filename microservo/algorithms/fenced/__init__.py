"""What runs beside the plug-in, inside the fence: `python -I FOLDER`, with this package as the folder.

It is mounted alone into the plug-in's own environment. So it uses the standard library only, imports only
from itself (relatively), and runs on every Python that an environment may have. It takes frames from standard
input and answers each one on standard output; what a plug-in prints goes to standard error.

Nothing that it says is trusted: `microservo.algorithms.session` checks every answer.
"""
