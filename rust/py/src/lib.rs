//! `ai_infra._core`: the native module. One file here for each module of the core.

mod batch;
mod chunk;
mod conversations;
mod embed;
mod error;
mod fit;
mod floats;
mod item;
mod items;
mod large;
mod lexical;
mod mirror;
mod rank;
mod recall;
mod sessions;
mod store;
mod tokens;
mod validate;
mod vectors;

#[pyo3::pymodule(gil_used = false)]
mod _core {
    #[pymodule_export]
    use crate::batch::{Batch, Pending};
    #[pymodule_export]
    use crate::chunk::message_chunks;
    #[pymodule_export]
    use crate::conversations::{LocalConversations, filter_matches};
    #[pymodule_export]
    use crate::embed::{local_dimensions, local_embed, local_model};
    #[pymodule_export]
    use crate::fit::FitPlanner;
    #[pymodule_export]
    use crate::floats::{float_rows, pack_vectors, unpack_vectors};
    #[pymodule_export]
    use crate::item::MemoryItem;
    #[pymodule_export]
    use crate::large::{Scores, array_cosines, array_literal, list_documents, needed_terms, wanted_terms};
    #[pymodule_export]
    use crate::lexical::{TextIndex, search_terms, word_stems};
    #[pymodule_export]
    use crate::mirror::Mirror;
    #[pymodule_export]
    use crate::rank::fuse_scores;
    #[pymodule_export]
    use crate::recall::{ConversationIndex, RecallHit, message_passages};
    #[pymodule_export]
    use crate::sessions::LocalSessions;
    #[pymodule_export]
    use crate::store::{LocalStore, after_fork, before_fork, is_database};
    #[pymodule_export]
    use crate::tokens::{Encoding, count_approximate};
    #[pymodule_export]
    use crate::validate::{canonical_filter, canonical_json, check_key, check_namespace, check_query};
    #[pymodule_export]
    use crate::vectors::VectorIndex;

    /// The version of the package.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    /// True when the module was built without optimizations; the package warns about it.
    #[pymodule_export]
    const DEBUG_BUILD: bool = cfg!(debug_assertions);
}
