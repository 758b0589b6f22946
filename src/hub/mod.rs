//! Layer 2: channels.
