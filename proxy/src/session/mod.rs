//! One client's conversation, from its login to its end.
