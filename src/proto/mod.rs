//! Layer 1: protocols, bytes in and values out.
