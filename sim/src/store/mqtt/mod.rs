//! MQTT 3.1.1: packets on bytes, and the client that the machines of a store use.
//!
//! Packets are coded by `mqtt-protocol-core`; its `Connection`, which keeps sessions too, is not used: the broker must have its
//! sessions in a journal, an acknowledgement must wait for a disk, and sets that it walks are ordered by a random hash key.
//! So this file knows packets and nothing of sessions; `client` is next to read, then `broker`.

mod client;

pub use client::{Client, Delivery, Options};

use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use mqtt_protocol_core::mqtt::{
    packet::{Qos, SubEntry, SubOpts, v3_1_1},
    result_code::{ConnectReturnCode, MqttError, SubackReturnCode},
};

/// Largest packet that is accepted, header excluded.
const PACKET_BYTES_MAX: usize = 1 << 20;

/// What the store's machines say to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Connect {
        client_id: String,
        clean_session: bool,
        /// Seconds; 0 is never.
        keep_alive: u16,
    },
    Connack {
        session_present: bool,
        accepted: bool,
    },
    Publish(Publish),
    Puback(u16),
    Subscribe {
        id: u16,
        filters: Vec<String>,
    },
    Suback {
        id: u16,
        /// One per filter.
        granted: Vec<bool>,
    },
    Pingreq,
    Pingresp,
    Disconnect,
}

/// An application message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: Arc<str>,
    pub(crate) payload: Bytes,
    /// `None` is QoS 0; otherwise QoS 1.
    pub(crate) id: Option<u16>,
    pub(crate) redelivered: bool,
    pub(crate) retain: bool,
}

/// Bytes that are no MQTT 3.1.1, or something that the store does not speak. The connection is closed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CodecError {
    #[error("packet of {0} bytes, more than {PACKET_BYTES_MAX}")]
    TooLong(usize),
    #[error("malformed length")]
    Length,
    #[error("packet type {0} is not spoken here")]
    Type(u8),
    #[error("malformed packet: {0:?}")]
    Malformed(MqttError),
}

impl From<MqttError> for CodecError {
    fn from(error: MqttError) -> Self {
        Self::Malformed(error)
    }
}

/// Takes one packet from the front of `buffer`; `None` if more bytes are needed.
///
/// # Errors
/// When the bytes cannot be a packet.
pub(crate) fn decode(buffer: &mut BytesMut) -> Result<Option<Packet>, CodecError> {
    let Some((header_bytes, body_bytes)) = frame(buffer)? else {
        return Ok(None);
    };
    if buffer.len() < header_bytes + body_bytes {
        return Ok(None);
    }
    let first = buffer[0];
    buffer.advance(header_bytes);
    let body = buffer.split_to(body_bytes);
    parse(first, &body).map(Some)
}

/// Length of the fixed header and of what follows it.
fn frame(buffer: &[u8]) -> Result<Option<(usize, usize)>, CodecError> {
    let mut length = 0_usize;
    for index in 0..4 {
        let Some(byte) = buffer.get(1 + index) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            if length > PACKET_BYTES_MAX {
                return Err(CodecError::TooLong(length));
            }
            return Ok(Some((2 + index, length)));
        }
    }
    Err(CodecError::Length)
}

fn parse(first: u8, body: &[u8]) -> Result<Packet, CodecError> {
    Ok(match first >> 4 {
        1 => {
            let (connect, _) = v3_1_1::Connect::parse(body)?;
            Packet::Connect {
                client_id: connect.client_id().to_owned(),
                clean_session: connect.clean_session(),
                keep_alive: connect.keep_alive(),
            }
        }
        2 => {
            let (connack, _) = v3_1_1::Connack::parse(body)?;
            Packet::Connack {
                session_present: connack.session_present(),
                accepted: connack.return_code() == ConnectReturnCode::Accepted,
            }
        }
        3 => {
            let (publish, _) = v3_1_1::Publish::parse(first & 0x0f, Arc::from(body))?;
            if publish.qos() == Qos::ExactlyOnce {
                return Err(CodecError::Malformed(MqttError::QosNotSupported));
            }
            Packet::Publish(Publish {
                topic: Arc::from(publish.topic_name()),
                payload: Bytes::copy_from_slice(publish.payload().as_slice()),
                id: publish.packet_id(),
                redelivered: publish.dup(),
                retain: publish.retain(),
            })
        }
        4 => Packet::Puback(v3_1_1::Puback::parse(body)?.0.packet_id()),
        8 => {
            let (subscribe, _) = v3_1_1::Subscribe::parse(body)?;
            Packet::Subscribe {
                id: subscribe.packet_id(),
                filters: subscribe
                    .entries()
                    .iter()
                    .map(|entry| entry.topic_filter().to_owned())
                    .collect(),
            }
        }
        9 => {
            let (suback, _) = v3_1_1::Suback::parse(body)?;
            Packet::Suback {
                id: suback.packet_id(),
                granted: suback
                    .return_codes()
                    .iter()
                    .map(SubackReturnCode::is_success)
                    .collect(),
            }
        }
        12 => Packet::Pingreq,
        13 => Packet::Pingresp,
        14 => Packet::Disconnect,
        other => return Err(CodecError::Type(other)),
    })
}

impl Packet {
    /// Appends the packet's bytes.
    ///
    /// # Panics
    /// If it cannot be said in MQTT: an empty topic, a packet id of 0, a string of more than 65,535 bytes. All of them
    /// are ours: what came from the network was parsed before.
    pub(crate) fn encode(&self, out: &mut BytesMut) {
        let bytes = self
            .bytes()
            .expect("the store's own packets are well formed");
        out.extend_from_slice(&bytes);
    }

    fn bytes(&self) -> Result<Vec<u8>, MqttError> {
        Ok(match self {
            Self::Connect {
                client_id,
                clean_session,
                keep_alive,
            } => v3_1_1::Connect::builder()
                .client_id(client_id.as_str())?
                .clean_session(*clean_session)
                .keep_alive(*keep_alive)
                .build()?
                .to_continuous_buffer(),
            Self::Connack {
                session_present,
                accepted,
            } => v3_1_1::Connack::builder()
                .session_present(*session_present)
                .return_code(if *accepted {
                    ConnectReturnCode::Accepted
                } else {
                    ConnectReturnCode::ServerUnavailable
                })
                .build()?
                .to_continuous_buffer(),
            Self::Publish(publish) => {
                let builder = v3_1_1::Publish::builder()
                    .topic_name(&*publish.topic)?
                    .qos(match publish.id {
                        Some(_) => Qos::AtLeastOnce,
                        None => Qos::AtMostOnce,
                    })
                    .dup(publish.redelivered)
                    .retain(publish.retain)
                    .payload(&publish.payload[..]);
                match publish.id {
                    Some(id) => builder.packet_id(id).build()?,
                    None => builder.build()?,
                }
                .to_continuous_buffer()
            }
            Self::Puback(id) => v3_1_1::Puback::builder()
                .packet_id(*id)
                .build()?
                .to_continuous_buffer(),
            Self::Subscribe { id, filters } => {
                let entries = filters
                    .iter()
                    .map(|filter| {
                        SubEntry::new(filter.as_str(), SubOpts::new().set_qos(Qos::AtLeastOnce))
                    })
                    .collect::<Result<Vec<_>, _>>()?;
                v3_1_1::Subscribe::builder()
                    .packet_id(*id)
                    .entries(entries)
                    .build()?
                    .to_continuous_buffer()
            }
            Self::Suback { id, granted } => v3_1_1::Suback::builder()
                .packet_id(*id)
                .return_codes(
                    granted
                        .iter()
                        .map(|&granted| {
                            if granted {
                                SubackReturnCode::SuccessMaximumQos1
                            } else {
                                SubackReturnCode::Failure
                            }
                        })
                        .collect(),
                )
                .build()?
                .to_continuous_buffer(),
            Self::Pingreq => v3_1_1::Pingreq::new().to_continuous_buffer(),
            Self::Pingresp => v3_1_1::Pingresp::new().to_continuous_buffer(),
            Self::Disconnect => v3_1_1::Disconnect::new().to_continuous_buffer(),
        })
    }
}

/// Whether a topic matches a filter: exactly, by `+` for one level, or by a trailing `#` for all below.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    let mut levels = topic.split('/');
    for part in filter.split('/') {
        if part == "#" {
            return true;
        }
        match levels.next() {
            Some(level) if part == "+" || part == level => {}
            _ => return false,
        }
    }
    levels.next().is_none()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(packet: Packet) {
        let mut bytes = BytesMut::new();
        packet.encode(&mut bytes);
        let whole = bytes.clone();
        for cut in 0..whole.len() {
            assert_eq!(
                decode(&mut BytesMut::from(&whole[..cut])),
                Ok(None),
                "{packet:?} cut to {cut}"
            );
        }
        bytes.extend_from_slice(b"rest");
        assert_eq!(decode(&mut bytes), Ok(Some(packet)));
        assert_eq!(&bytes[..], b"rest");
    }

    #[test]
    fn every_packet_comes_back_as_it_was_sent() {
        check(Packet::Connect {
            client_id: "pos-1".into(),
            clean_session: false,
            keep_alive: 300,
        });
        for session_present in [false, true] {
            check(Packet::Connack {
                session_present,
                accepted: true,
            });
        }
        for id in [None, Some(1), Some(u16::MAX)] {
            check(Packet::Publish(Publish {
                topic: "orders/pos-1".into(),
                payload: Bytes::from(vec![7; 1200]),
                id,
                redelivered: id.is_some(),
                retain: id == Some(1),
            }));
        }
        check(Packet::Puback(9));
        check(Packet::Subscribe {
            id: 3,
            filters: vec!["orders/pos-1".into(), "menu/#".into()],
        });
        check(Packet::Suback {
            id: 3,
            granted: vec![true, false],
        });
        check(Packet::Pingreq);
        check(Packet::Pingresp);
        check(Packet::Disconnect);
    }

    #[test]
    fn a_length_that_is_too_long_is_refused_before_it_is_read() {
        let mut bytes = BytesMut::from(&[0x30, 0xff, 0xff, 0xff, 0x7f][..]);
        assert!(matches!(decode(&mut bytes), Err(CodecError::TooLong(_))));
        let mut bytes = BytesMut::from(&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01][..]);
        assert_eq!(decode(&mut bytes), Err(CodecError::Length));
    }

    #[test]
    fn filters_match_as_the_standard_says() {
        for (filter, topic, expect) in [
            ("orders/pos-1", "orders/pos-1", true),
            ("orders/pos-1", "orders/pos-10", false),
            ("orders/#", "orders/pos-1", true),
            ("orders/#", "orders", true),
            ("orders/#", "menu/board", false),
            ("menu/+", "menu/board", true),
            ("menu/+", "menu/board/1", false),
            ("#", "anything/at/all", true),
        ] {
            assert_eq!(matches(filter, topic), expect, "{filter} on {topic}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(_)) = decode(&mut buffer) {}
        }

        #[test]
        fn damaged_packets_never_panic(
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = BytesMut::new();
            Packet::Subscribe { id: 3, filters: vec!["orders/pos-1".into()] }.encode(&mut bytes);
            Packet::Publish(Publish {
                topic: "a/b".into(),
                payload: Bytes::from_static(b"payload"),
                id: Some(4),
                redelivered: false,
                retain: false,
            })
            .encode(&mut bytes);
            Packet::Connect { client_id: "kds-1".into(), clean_session: false, keep_alive: 0 }
                .encode(&mut bytes);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            while let Ok(Some(_)) = decode(&mut bytes) {}
        }
    }
}
