//! placeholder
pub mod atomic; pub mod checkpoint; pub mod error; pub mod event; pub mod execute; pub mod executor; pub mod format; pub mod identity; pub mod journal; pub mod machine; pub mod provenance; pub mod record; pub mod runner; pub mod spec; pub mod table; pub mod workspace;
