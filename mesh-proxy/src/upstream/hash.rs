//! Consistent hashing: ketama rings and Maglev tables that choose the endpoint Envoy chooses for the same hash.
//!
//! Keys are an endpoint's address as text (`10.0.0.1:80`), or its `envoy.lb` metadata `hash_key`; hashes are xxHash64
//! (Envoy docs: "Ring hash" and "Maglev" under supported load balancers). Indexes are into the endpoint list given.

use xxhash_rust::xxh64::xxh64;

/// xxHash64 with seed 0: what Envoy hashes headers, addresses and cookies with.
pub fn xxhash(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

/// One endpoint to put on a ring or into a table.
#[derive(Debug, Clone)]
pub struct Share {
    /// What is hashed for it.
    pub key: String,
    /// Its share; all shares of a ring sum to 1.
    pub weight: f64,
}

/// A ketama ring.
#[derive(Debug, Default)]
pub struct Ring {
    entries: Vec<(u64, u32)>,
}

impl Ring {
    /// Puts every share on the ring, each with a number of points in proportion to its weight: the least has a whole number, all
    /// together at least `minimum` and at most `maximum`.
    #[expect(clippy::cast_precision_loss, reason = "ring sizes are at most 8 M")]
    pub fn new(shares: &[Share], minimum: u64, maximum: u64) -> Self {
        let least = shares.iter().map(|share| share.weight).fold(1.0, f64::min);
        if shares.is_empty() || least <= 0.0 {
            return Self::default();
        }
        let scale = ((least * minimum as f64).ceil() / least).min(maximum as f64);
        let mut entries = Vec::new();
        let (mut current, mut target) = (0.0, 0.0);
        let mut key = Vec::new();
        for (index, share) in (0u32..).zip(shares) {
            target += scale * share.weight;
            let mut point = 0u64;
            while current < target {
                key.clear();
                key.extend_from_slice(share.key.as_bytes());
                key.push(b'_');
                key.extend_from_slice(point.to_string().as_bytes());
                entries.push((xxhash(&key), index));
                point += 1;
                current += 1.0;
            }
        }
        entries.sort_by_key(|(hash, _)| *hash);
        Self { entries }
    }

    /// The index of the share that owns `hash`: the first point at or after it. A later `attempt` walks on round the ring.
    pub fn choose(&self, hash: u64, attempt: u32) -> Option<usize> {
        let first = self.entries.partition_point(|(point, _)| *point < hash);
        let at = (first % self.entries.len().max(1) + attempt as usize) % self.entries.len().max(1);
        self.entries.get(at).map(|(_, index)| *index as usize)
    }

    /// Points on the ring.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no point.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// A Maglev table.
#[derive(Debug, Default)]
pub struct Maglev {
    table: Vec<u32>,
}

struct Candidate {
    index: u32,
    offset: u64,
    skip: u64,
    next: u64,
    weight: f64,
    target: f64,
}

const FREE: u32 = u32::MAX;

impl Maglev {
    /// Fills a table of `size` entries, a prime, as listing 1 of the Maglev paper does, in the order of the keys.
    pub fn new(shares: &[Share], size: u64) -> Self {
        let most = shares.iter().map(|share| share.weight).fold(0.0, f64::max);
        if shares.is_empty() || size < 2 || most <= 0.0 {
            return Self::default();
        }
        let mut candidates = candidates(shares, size);
        let mut table = vec![FREE; usize::try_from(size).unwrap_or(usize::MAX)];
        let mut left = table.len();
        let mut iteration = 1.0;
        while left > 0 {
            for candidate in &mut candidates {
                if left == 0 {
                    break;
                }
                if iteration * candidate.weight < candidate.target {
                    continue;
                }
                candidate.target += most;
                let slot = candidate.next_free(&table, size);
                table[slot] = candidate.index;
                left -= 1;
            }
            iteration += 1.0;
        }
        Self { table }
    }

    /// The index of the share that owns `hash`. A later `attempt` gives another one, most likely.
    pub fn choose(&self, hash: u64, attempt: u32) -> Option<usize> {
        let hash = if attempt > 0 { hash ^ (u64::MAX - u64::from(attempt) + 1) } else { hash };
        let slot = hash.checked_rem(self.table.len() as u64)?;
        self.table.get(usize::try_from(slot).ok()?).map(|index| *index as usize)
    }
}

fn candidates(shares: &[Share], size: u64) -> Vec<Candidate> {
    let mut order: Vec<(u32, &Share)> = (0u32..).zip(shares).collect();
    order.sort_by(|(_, a), (_, b)| a.key.cmp(&b.key));
    order
        .into_iter()
        .map(|(index, share)| Candidate {
            index,
            offset: xxh64(share.key.as_bytes(), 0) % size,
            skip: xxh64(share.key.as_bytes(), 1) % (size - 1) + 1,
            next: 0,
            weight: share.weight,
            target: 0.0,
        })
        .collect()
}

impl Candidate {
    /// The next free slot of its permutation. `size` is prime, so the permutation visits every slot.
    fn next_free(&mut self, table: &[u32], size: u64) -> usize {
        loop {
            let at = (u128::from(self.offset) + u128::from(self.skip) * u128::from(self.next)) % u128::from(size);
            self.next += 1;
            let slot = usize::try_from(at).unwrap_or_default();
            if table[slot] == FREE || self.next > 2 * size {
                return slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::cast_precision_loss)]

    use proptest::prelude::*;

    use super::*;

    fn shares(ports: &[u16]) -> Vec<Share> {
        let weight = 1.0 / ports.len() as f64;
        ports.iter().map(|port| Share { key: format!("127.0.0.1:{port}"), weight }).collect()
    }

    #[test]
    fn known_hashes() {
        assert_eq!(xxhash(b""), 0xef46_db37_51d8_e999);
        assert_eq!(xxhash(b"foo"), 3_728_699_739_546_630_719);
    }

    /// The rings Envoy's ring hash tests expect for 127.0.0.1:90..95.
    #[test]
    fn ring_of_envoys_documentation() {
        let ring = Ring::new(&shares(&[90, 91, 92, 93, 94, 95]), 12, 1 << 20);
        assert_eq!(ring.len(), 12);
        for (hash, port) in [(0, 94), (3_551_244_743_356_806_947, 95), (3_551_244_743_356_806_948, 93), (u64::MAX, 94)] {
            assert_eq!(ring.choose(hash, 0).unwrap() + 90, port, "{hash}");
        }
        assert_eq!(ring.choose(0, 12), ring.choose(0, 0));
    }

    /// The assignment Envoy's Maglev tests expect for 127.0.0.1:90..95 in a table of 7.
    #[test]
    fn table_of_envoys_tests() {
        let table = Maglev::new(&shares(&[90, 91, 92, 93, 94, 95]), 7);
        let assigned: Vec<usize> = (0..14).filter_map(|hash| table.choose(hash, 0)).collect();
        assert_eq!(assigned, [2, 4, 0, 1, 5, 0, 3, 2, 4, 0, 1, 5, 0, 3]);
    }

    #[test]
    fn nothing_to_choose_from() {
        assert_eq!(Ring::new(&[], 1024, 2048).choose(1, 0), None);
        assert_eq!(Maglev::new(&[], 65537).choose(1, 0), None);
    }

    #[test]
    fn weights_are_shares_of_a_maglev_table() {
        let shares = [Share { key: "a:1".into(), weight: 0.75 }, Share { key: "b:1".into(), weight: 0.25 }];
        let table = Maglev::new(&shares, 1009);
        let first = (0..1009).filter(|slot| table.choose(*slot, 0) == Some(0)).count();
        assert!((740..=775).contains(&first), "{first}");
    }

    proptest! {
        #[test]
        fn ring_moves_only_the_share_of_who_left(count in 2u16..12, gone in 0u16..12, hashes in prop::collection::vec(any::<u64>(), 200)) {
            let gone = 100 + gone % count;
            let before: Vec<u16> = (100..100 + count).collect();
            let after: Vec<u16> = before.iter().copied().filter(|port| *port != gone).collect();
            // As many points each before and after, or points of the others move too, as they do in Envoy.
            let (old, new) = (Ring::new(&shares(&before), 64 * u64::from(count), 1 << 20), Ring::new(&shares(&after), 64 * u64::from(count - 1), 1 << 20));
            for hash in hashes {
                let was = before[old.choose(hash, 0).unwrap()];
                let is = after[new.choose(hash, 0).unwrap()];
                prop_assert!(was == gone || was == is, "{hash}: {was} -> {is}");
            }
        }

        #[test]
        fn maglev_moves_little_more_than_the_share_of_who_left(count in 3u16..12, gone in 0u16..12) {
            let gone = 100 + gone % count;
            let before: Vec<u16> = (100..100 + count).collect();
            let after: Vec<u16> = before.iter().copied().filter(|port| *port != gone).collect();
            let (old, new) = (Maglev::new(&shares(&before), 1009), Maglev::new(&shares(&after), 1009));
            let moved = (0..1009u64).filter(|hash| {
                let was = before[old.choose(*hash, 0).unwrap()];
                was != gone && was != after[new.choose(*hash, 0).unwrap()]
            }).count();
            prop_assert!(moved < 1009 / 5, "{moved} entries of survivors moved");
        }

        #[test]
        fn maglev_spreads_evenly(count in 1u16..20) {
            let ports: Vec<u16> = (100..100 + count).collect();
            let table = Maglev::new(&shares(&ports), 65537);
            let mut counts = vec![0u32; ports.len()];
            for hash in 0..65537 {
                counts[table.choose(hash, 0).unwrap()] += 1;
            }
            let (most, least) = (counts.iter().max().unwrap(), counts.iter().min().unwrap());
            prop_assert!(most - least <= 1, "{counts:?}");
        }
    }
}
