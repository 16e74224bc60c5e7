//! `ai_infra._core`: the native module. One file here for each module of the core.

mod error;
mod fit;
mod sessions;
mod store;
mod tokens;
mod validate;
mod vectors;

#[pyo3::pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::fit::FitPlanner;
    #[pymodule_export]
    use crate::sessions::LocalSessions;
    #[pymodule_export]
    use crate::store::{LocalStore, after_fork, before_fork};
    #[pymodule_export]
    use crate::tokens::{Encoding, count_approximate};
    #[pymodule_export]
    use crate::validate::{canonical_filter, canonical_json, check_key, check_namespace};
    #[pymodule_export]
    use crate::vectors::VectorIndex;

    /// The version of the package.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// True when the module was built without optimizations; the package warns about it.
    #[pymodule_export]
    const DEBUG_BUILD: bool = cfg!(debug_assertions);
}
