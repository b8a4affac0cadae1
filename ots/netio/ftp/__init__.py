"""FTP for measuring: aioftp speaks on the control connection, the way of the bytes is ours."""
