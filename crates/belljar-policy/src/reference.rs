//! The reference of `belljar.toml` and its JSON schema, from the tables that the parser uses.
