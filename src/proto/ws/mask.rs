//! Masking of client frames (RFC 6455 §5.3), by words.

/// Applies the mask to `bytes`, the first of which is byte `offset` of the frame's payload. Its own inverse.
#[inline]
pub fn apply(bytes: &mut [u8], key: [u8; 4], offset: usize) {
    let rotated: [u8; 4] = std::array::from_fn(|i| key[(i + offset) % 4]);
    let word = u32::from_ne_bytes(rotated);
    let wide = u128::from_ne_bytes(std::array::from_fn(|i| rotated[i % 4]));
    // 32 bytes at a time: the compiler makes two vector operations of it.
    let mut chunks = bytes.chunks_exact_mut(32);
    for chunk in &mut chunks {
        let (low, high) = chunk.split_at_mut(16);
        xor_wide(low, wide);
        xor_wide(high, wide);
    }
    let mut sixteens = chunks.into_remainder().chunks_exact_mut(16);
    for chunk in &mut sixteens {
        xor_wide(chunk, wide);
    }
    let mut words = sixteens.into_remainder().chunks_exact_mut(4);
    for chunk in &mut words {
        let masked = u32::from_ne_bytes([chunk[0], chunk[1], chunk[2], chunk[3]]) ^ word;
        chunk.copy_from_slice(&masked.to_ne_bytes());
    }
    for (byte, key) in words.into_remainder().iter_mut().zip(rotated) {
        *byte ^= key;
    }
}

#[inline]
fn xor_wide(sixteen: &mut [u8], wide: u128) {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(sixteen);
    sixteen.copy_from_slice(&(u128::from_ne_bytes(bytes) ^ wide).to_ne_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn agrees_with_the_byte_loop(
            bytes in proptest::collection::vec(any::<u8>(), 0..300), key: [u8; 4], offset in 0..1000usize, at in 0..300usize,
        ) {
            let naive: Vec<u8> = bytes.iter().enumerate().map(|(i, b)| b ^ key[(i + offset) % 4]).collect();
            let mut masked = bytes.clone();
            let (head, tail) = masked.split_at_mut(at.min(bytes.len()));
            apply(head, key, offset);
            apply(tail, key, offset + head.len());
            prop_assert_eq!(masked, naive);
        }
    }
}
