//! What this box still lacks.
