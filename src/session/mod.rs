//! Layer 3: sessions.
