"""Mail: the dialogues of SMTP, IMAP and POP3, and the messages that they carry."""
