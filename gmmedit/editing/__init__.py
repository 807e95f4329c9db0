"""What an edit is made of: the request, the session, the files that come out."""
