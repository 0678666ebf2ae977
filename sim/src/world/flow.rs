//! What TCP's sender and receiver would do about lost segments, for the flows that have lost any. Sans-IO.
//!
//! turmoil-net's kernels take segments in order only and never retransmit here (their count-based timer is off). So a
//! segment is never dropped: it is *lost* until its next retransmission instant (RFC 6298 with Linux's constants, in
//! `link::tcp`), what arrives behind it is *held* as a receiver with SACK holds it (RFC 2018), and when the sender gives
//! up, the connection is reset. Pure ACKs are not retransmitted by anybody: a lost one is superseded by the next segment,
//! and only where none follows is it sent again, because turmoil-net's sender would wait for it for ever.
//! Not here: links and routes (`net`).

use std::{collections::VecDeque, time::Duration};

use turmoil_net::{Packet, TcpSegment, Transport};

/// One direction of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct FlowId {
    /// Index of the sending machine.
    pub src: u16,
    /// Index of the receiving machine.
    pub dst: u16,
    /// Sender's port.
    pub src_port: u16,
    /// Receiver's port.
    pub dst_port: u16,
}

impl FlowId {
    /// All of it in one number.
    pub(super) fn number(self) -> u64 {
        u64::from(self.src) << 48
            | u64::from(self.dst) << 32
            | u64::from(self.src_port) << 16
            | u64::from(self.dst_port)
    }

    /// The connection that has this number.
    pub(super) fn of_number(number: u64) -> Self {
        Self {
            src: (number >> 48) as u16,
            dst: (number >> 32) as u16,
            src_port: (number >> 16) as u16,
            dst_port: number as u16,
        }
    }

    /// The connection's other direction.
    pub(super) fn reversed(self) -> Self {
        Self {
            src: self.dst,
            dst: self.src,
            src_port: self.dst_port,
            dst_port: self.src_port,
        }
    }
}

/// The segment of a TCP packet.
pub(super) fn segment(packet: &Packet) -> Option<&TcpSegment> {
    match &packet.payload {
        Transport::Tcp(s) => Some(s),
        Transport::Udp(_) => None,
    }
}

/// Whether a segment carries nothing but an acknowledgement.
pub(super) fn is_pure_ack(s: &TcpSegment) -> bool {
    s.payload.is_empty() && !s.flags.syn && !s.flags.fin && !s.flags.rst
}

/// A segment that did not get through yet.
#[derive(Debug)]
struct Lost {
    seq: u32,
    /// `None` while a retransmission is on its way.
    packet: Option<Packet>,
    sent: Duration,
}

/// A flow that has lost something.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    lost: VecDeque<Lost>,
    held: VecDeque<Packet>,
    /// The youngest lost acknowledgement; kept while it is sent again, too.
    ack: Option<Lost>,
    /// Told apart from timers of earlier troubles of this flow.
    pub(super) timer: u64,
}

/// What a retransmission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// First transmission.
    pub sent: Duration,
    /// Whether it opens a connection.
    pub syn: bool,
}

/// `a` comes before `b` in sequence space (RFC 9293, section 3.4).
fn before(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}

impl Trouble {
    /// A segment that was lost. `sent` is its first transmission. Tells whether the retransmission timer must be (re)armed:
    /// it runs for the oldest lost segment only.
    pub(super) fn lose(&mut self, packet: Packet, sent: Duration) -> bool {
        let s = segment(&packet).expect("only TCP is retransmitted");
        let seq = s.seq;
        if is_pure_ack(s) {
            self.ack = Some(Lost {
                seq,
                packet: Some(packet),
                sent,
            });
            return self.lost.is_empty();
        }
        match self.lost.iter_mut().position(|l| l.seq == seq) {
            Some(at) => {
                self.lost[at].packet = Some(packet);
                at == 0
            }
            None => {
                let at = self
                    .lost
                    .iter()
                    .position(|l| before(seq, l.seq))
                    .unwrap_or(self.lost.len());
                self.lost.insert(
                    at,
                    Lost {
                        seq,
                        packet: Some(packet),
                        sent,
                    },
                );
                at == 0
            }
        }
    }

    /// Whether only an acknowledgement is lost.
    pub(super) fn is_about_an_ack(&self) -> bool {
        self.lost.is_empty()
    }

    /// What the timer runs for: the oldest lost segment, else the last lost ACK.
    pub(super) fn head(&self) -> Option<Head> {
        let lost = match self.lost.front() {
            Some(l) => l,
            None => self.ack.as_ref()?,
        };
        let syn = lost
            .packet
            .as_ref()
            .and_then(segment)
            .is_some_and(|s| s.flags.syn);
        Some(Head {
            sent: lost.sent,
            syn,
        })
    }

    /// The timer fired: the packet to send again, with its first transmission.
    pub(super) fn retransmit(&mut self) -> Option<(Packet, Duration)> {
        match self.lost.front_mut() {
            Some(l) => {
                let packet = l.packet.take()?;
                Some((packet, l.sent))
            }
            None => {
                let a = self.ack.as_ref()?;
                Some((a.packet.clone()?, a.sent))
            }
        }
    }

    /// A segment reached the receiver. What it may see now goes to `deliver`, in order; what the sender sends at once,
    /// because its oldest segment is through, to `resend`.
    pub(super) fn arrive(
        &mut self,
        packet: Packet,
        deliver: &mut Vec<Packet>,
        resend: &mut Vec<(Packet, Duration)>,
    ) {
        let s = segment(&packet).expect("only TCP is held");
        let (seq, ack, pure_ack) = (s.seq, s.ack, is_pure_ack(s));
        // A lost acknowledgement that is younger comes after what arrives; one that is not comes before it, since what
        // arrives may be the first data of a connection, and a kernel that waits for the end of the handshake takes its
        // acknowledgement and throws its payload away (test `a_lost_end_of_a_handshake_costs_nothing`).
        let lost_ack = self.ack.take().and_then(|a| a.packet);
        let younger = lost_ack
            .as_ref()
            .and_then(segment)
            .is_some_and(|lost| before(ack, lost.ack));
        let (first, last) = match younger {
            true => (None, lost_ack),
            false => (lost_ack, None),
        };
        deliver.extend(first);
        self.arrive_in_order(packet, seq, pure_ack, deliver, resend);
        deliver.extend(last);
    }

    /// The lost acknowledgement, for a connection that ends.
    pub(super) fn into_ack(self) -> Option<Packet> {
        self.ack?.packet
    }

    /// Number of a lost SYN-ACK, and of what it acknowledges.
    pub(super) fn into_syn_ack(self) -> Option<(u32, u32)> {
        let first = self.lost.front()?.packet.as_ref().and_then(segment)?;
        let is_syn_ack = first.flags.syn && first.flags.ack;
        is_syn_ack.then_some((first.seq, first.ack))
    }

    fn arrive_in_order(
        &mut self,
        packet: Packet,
        seq: u32,
        pure_ack: bool,
        deliver: &mut Vec<Packet>,
        resend: &mut Vec<(Packet, Duration)>,
    ) {
        if pure_ack {
            deliver.push(packet);
            return;
        }
        let was_head = match self.lost.iter().position(|l| l.seq == seq) {
            Some(at) => {
                self.lost.remove(at);
                at == 0
            }
            None => false,
        };
        if self.lost.front().is_some_and(|l| before(l.seq, seq)) {
            let at = self
                .held
                .iter()
                .position(|h| segment(h).is_some_and(|h| before(seq, h.seq)))
                .unwrap_or(self.held.len());
            self.held.insert(at, packet);
            return;
        }
        deliver.push(packet);
        if !was_head {
            return;
        }
        while let Some(h) = self.held.front() {
            let h_seq = segment(h).expect("only TCP is held").seq;
            if self.lost.front().is_some_and(|l| before(l.seq, h_seq)) {
                break;
            }
            deliver.extend(self.held.pop_front());
        }
        for l in &mut self.lost {
            if let Some(packet) = l.packet.take() {
                resend.push((packet, l.sent));
            }
        }
    }

    /// Whether nothing is lost or held any more.
    pub(super) fn is_over(&self) -> bool {
        self.lost.is_empty() && self.held.is_empty() && self.ack.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use turmoil_net::TcpFlags;

    fn data(seq: u32, len: usize) -> Packet {
        Packet {
            src: [192, 168, 0, 1].into(),
            dst: [192, 168, 0, 2].into(),
            ttl: 64,
            payload: Transport::Tcp(TcpSegment {
                src_port: 1,
                dst_port: 2,
                seq,
                ack: 0,
                flags: TcpFlags {
                    ack: true,
                    ..TcpFlags::default()
                },
                window: 65535,
                payload: vec![0; len].into(),
            }),
        }
    }

    fn seqs(packets: &[Packet]) -> Vec<u32> {
        packets
            .iter()
            .map(|p| segment(p).expect("TCP").seq)
            .collect()
    }

    const T: Duration = Duration::ZERO;

    #[test]
    fn what_follows_a_lost_segment_waits_for_it() {
        let mut t = Trouble::default();
        let (mut out, mut again) = (vec![], vec![]);
        assert!(t.lose(data(100, 10), T));
        t.arrive(data(90, 10), &mut out, &mut again);
        assert_eq!(seqs(&out), [90], "older ones pass");
        t.arrive(data(110, 10), &mut out, &mut again);
        t.arrive(data(120, 10), &mut out, &mut again);
        assert_eq!(seqs(&out), [90]);
        let (p, _) = t.retransmit().expect("the lost one");
        assert_eq!(t.retransmit(), None, "it is on its way");
        t.arrive(p, &mut out, &mut again);
        assert_eq!(seqs(&out), [90, 100, 110, 120]);
        assert!(t.is_over());
    }

    #[test]
    fn the_rest_follows_when_the_oldest_is_through() {
        let mut t = Trouble::default();
        let (mut out, mut again) = (vec![], vec![]);
        assert!(t.lose(data(100, 10), T));
        assert!(!t.lose(data(110, 10), T));
        assert!(!t.lose(data(120, 10), T));
        let (p, _) = t.retransmit().expect("the oldest");
        assert_eq!(segment(&p).map(|s| s.seq), Some(100));
        t.arrive(p, &mut out, &mut again);
        assert_eq!(again.len(), 2);
        // The second of them is lost again: the third waits for it.
        let third = again.pop().expect("two").0;
        let second = again.pop().expect("one").0;
        assert!(t.lose(second, T));
        t.arrive(third, &mut out, &mut again);
        assert_eq!(seqs(&out), [100]);
        let (p, _) = t.retransmit().expect("the second");
        t.arrive(p, &mut out, &mut again);
        assert_eq!(seqs(&out), [100, 110, 120]);
        assert!(t.is_over());
    }

    #[test]
    fn a_lost_ack_is_superseded() {
        let mut t = Trouble::default();
        let (mut out, mut again) = (vec![], vec![]);
        assert!(t.lose(data(100, 0), T));
        assert!(!t.is_over());
        t.arrive(data(100, 5), &mut out, &mut again);
        assert!(t.is_over());
        assert_eq!(
            out.len(),
            2,
            "the acknowledgement first: it may end a handshake"
        );
        assert!(segment(&out[0]).is_some_and(is_pure_ack));
        out.clear();
        assert!(t.lose(data(105, 0), T));
        let (ack, _) = t.retransmit().expect("nothing followed it");
        t.arrive(ack, &mut out, &mut again);
        assert!(t.is_over());
    }

    #[test]
    fn sequence_numbers_wrap() {
        let mut t = Trouble::default();
        let (mut out, mut again) = (vec![], vec![]);
        t.lose(data(u32::MAX - 4, 10), T);
        t.arrive(data(5, 10), &mut out, &mut again);
        assert!(out.is_empty());
        let (p, _) = t.retransmit().expect("the lost one");
        t.arrive(p, &mut out, &mut again);
        assert_eq!(seqs(&out), [u32::MAX - 4, 5]);
    }
}
