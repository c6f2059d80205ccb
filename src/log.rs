//! Delivery events for the log: one function each, text from outside escaped.
