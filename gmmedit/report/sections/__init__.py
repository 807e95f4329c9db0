"""The sections of the report: finished artifacts to markup."""
