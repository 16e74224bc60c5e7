//! Loops over many numbers for the processor they run on.

/// Makes a function that runs with AVX2 where the processor has it. Nothing is fused: the results are the same.
macro_rules! wide {
    ($(#[$doc:meta])* $visible:vis fn $name:ident($($argument:ident: $type:ty),*) $body:block) => {
        $(#[$doc])*
        $visible fn $name($($argument: $type),*) {
            #[inline(always)]
            fn plain($($argument: $type),*) $body
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2")]
                fn with_avx2($($argument: $type),*) {
                    plain($($argument),*);
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: the processor has it.
                    unsafe { with_avx2($($argument),*) };
                    return;
                }
            }
            plain($($argument),*);
        }
    };
}

pub(crate) use wide;
