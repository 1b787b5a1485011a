"""The one error that a user can mend."""


class ReplicationError(RuntimeError):
    """Something outside the code is wrong: a file, a download, a setting.

    The message is one line. It names the file or value and says what to do. The command line prints it
    without a traceback; anything else that is raised is a defect of this project.
    """
