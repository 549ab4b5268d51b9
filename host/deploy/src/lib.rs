//! Renders a flow for the places where it can run, and for people to look at.
//!
//! Every exporter is a pure function from what the flow is to texts of files: no clock, no randomness, no files, so the
//! same flow gives the same bytes. Reading the flow, copying its components and writing the folder are the caller's work.
//!
//! The unit is one process: a flow runs whole in each pod or container, so there is no mesh of executors to wire. What
//! changes gets a new name (the flow file by its digest, the image by those of its components), so a roll-out is a
//! change of names and can be taken back.

mod bundle;
mod compose;
mod flowchart;
mod kubernetes;

pub use bundle::{Bundle, BundledComponent, FLOW_FILE, Manifest, image};
pub use compose::{ComposeOptions, compose};
pub use flowchart::{Chart, ChartStage, svg};
pub use kubernetes::{KubernetesOptions, kubernetes};
