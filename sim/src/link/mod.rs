//! The link model: what one direction of a line does to a packet. Sans-IO.
//!
//! No socket, clock or route here: `world` feeds packets in and takes them out, and so does the live proxy.
