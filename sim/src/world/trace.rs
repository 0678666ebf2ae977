//! The trace of a run, and its hash.
//!
//! Every packet that leaves a machine goes in: time, addresses, sequence numbers, flags, length, and where asked for the
//! payload too (it costs much on large exports). Two runs of one seed that differ in any of it have
//! other hashes, but for a chance of 2^-64.

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

use turmoil_net::{Packet, Transport};

/// Odd constant of the mixing step (2^64 / golden ratio, Knuth TAOCP 6.4).
const MIX: u64 = 0x9E37_79B9_7F4A_7C15;

/// A running hash: order matters, speed matters, and nobody attacks it.
#[derive(Clone, Debug)]
pub struct TraceHash {
    state: u64,
    packets: u64,
    payloads: bool,
}

impl TraceHash {
    /// An empty trace; `payloads` hashes contents too.
    pub fn new(payloads: bool) -> Self {
        Self {
            state: MIX,
            packets: 0,
            payloads,
        }
    }

    /// Adds one packet at the instant it leaves its machine.
    pub fn packet(&mut self, now: Duration, packet: &Packet) {
        self.packets += 1;
        self.write_u64(now.as_nanos() as u64);
        packet.src.hash(self);
        packet.dst.hash(self);
        match &packet.payload {
            Transport::Tcp(s) => {
                let flags = u64::from(s.flags.syn)
                    | u64::from(s.flags.ack) << 1
                    | u64::from(s.flags.fin) << 2
                    | u64::from(s.flags.rst) << 3;
                self.write_u64(u64::from(s.src_port) << 48 | u64::from(s.dst_port) << 32 | flags);
                self.write_u64(u64::from(s.seq) << 32 | u64::from(s.ack));
                self.write_u64((s.payload.len() as u64) << 16 | u64::from(s.window));
                if self.payloads {
                    self.write(&s.payload);
                }
            }
            Transport::Udp(d) => {
                self.write_u64(u64::from(d.src_port) << 48 | u64::from(d.dst_port) << 32);
                self.write_u64(d.payload.len() as u64);
                if self.payloads {
                    self.write(&d.payload);
                }
            }
        }
    }

    /// Packets so far.
    pub fn packets(&self) -> u64 {
        self.packets
    }
}

impl Hasher for TraceHash {
    fn finish(&self) -> u64 {
        // A last avalanche (MurmurHash3 finaliser), so that a late difference reaches every bit.
        let mut h = self.state;
        h = (h ^ (h >> 33)).wrapping_mul(0xFF51_AFD7_ED55_8CCD);
        h = (h ^ (h >> 33)).wrapping_mul(0xC4CE_B9FE_1A85_EC53);
        h ^ (h >> 33)
    }

    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.write_u64(u64::from_le_bytes(
                chunk.try_into().expect("chunks of eight bytes"),
            ));
        }
        let mut rest = [0; 8];
        let tail = chunks.remainder();
        rest[..tail.len()].copy_from_slice(tail);
        self.write_u64(u64::from_le_bytes(rest) ^ (bytes.len() as u64) << 56);
    }

    fn write_u8(&mut self, v: u8) {
        self.write_u64(v.into());
    }
    fn write_u16(&mut self, v: u16) {
        self.write_u64(v.into());
    }
    fn write_u32(&mut self, v: u32) {
        self.write_u64(v.into());
    }
    fn write_u64(&mut self, v: u64) {
        self.state = (self.state ^ v).wrapping_mul(MIX).rotate_left(29);
    }
    fn write_usize(&mut self, v: usize) {
        self.write_u64(v as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_length_matter() {
        let hash = |parts: &[&[u8]]| {
            let mut h = TraceHash::new(true);
            for p in parts {
                h.write(p);
            }
            h.finish()
        };
        assert_ne!(hash(&[b"a", b"b"]), hash(&[b"b", b"a"]));
        assert_ne!(hash(&[b"a"]), hash(&[b"a\0"]));
        assert_ne!(hash(&[]), hash(&[b""]));
    }
}
