//! The timer wheel against a table.

use std::collections::BTreeMap;

use throng::parts::base::wheel::Wheel;

/// Operations of ten bytes: what, which key, and a number whose size an exponent gives.
///
/// # Panics
/// When wheel and table disagree.
pub fn wheel_ops(data: &[u8]) {
    let (start, ops) = data.split_at(data.len().min(8));
    let start = number(start);
    let mut wheel = Wheel::new(start, 4);
    let mut table: BTreeMap<u32, u64> = BTreeMap::new();
    let mut now = start;
    for op in ops.chunks(10).take(10_000) {
        let [what, key, rest @ ..] = op else { return };
        let key = u32::from(*key % 64);
        // Small numbers are as likely as large ones.
        let span = number(rest) >> (u32::from(*what >> 2) & 63);
        match what % 4 {
            0 | 1 => {
                let deadline = now.saturating_add(span);
                wheel.set(key, deadline);
                table.insert(key, deadline);
            }
            2 => assert_eq!(wheel.remove(key), table.remove(&key).is_some()),
            _ => {
                let before = now;
                now = now.saturating_add(span);
                let mut last = 0;
                while let Some(key) = wheel.pop_due(now) {
                    let deadline = table.remove(&key).expect("popped once").max(before);
                    assert!(last <= deadline && deadline <= now, "in order, and not too early");
                    last = deadline;
                }
                assert_eq!(wheel.now(), now);
            }
        }
        check(&wheel, &table, now);
    }
}

fn check(wheel: &Wheel, table: &BTreeMap<u32, u64>, now: u64) {
    assert_eq!(wheel.len(), table.len());
    assert_eq!(wheel.is_empty(), table.is_empty());
    for (&key, &deadline) in table {
        assert_eq!(wheel.deadline(key), Some(deadline));
    }
    match (wheel.next(), table.values().min()) {
        (None, None) => {}
        (Some(next), Some(&earliest)) => {
            assert!(next <= earliest.max(now), "nobody is woken too late");
            assert!(next >= now, "time does not go back");
        }
        other => panic!("{other:?}"),
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte))
}
