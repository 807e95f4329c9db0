"""The sections of the report, each from finished artifacts to markup."""
