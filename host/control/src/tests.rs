//! The API in process, over a registry in a folder of its own and a scripted serving side.
