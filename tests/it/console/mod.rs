//! The console, and the calls of the API that it stands on.

mod status;
