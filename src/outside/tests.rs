//! Tests over the whole of it.
