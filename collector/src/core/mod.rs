//! The decisions: what is kept, what is sent next, when to try again. No clock, file or socket.
