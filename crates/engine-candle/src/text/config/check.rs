//! The checks of a decoder's `config.json`, and what its family leaves unsaid.

use super::raw::RawConfig;
use super::{
    AttentionScores, Biases, Checker, Family, GateFunction, LoadError, ModelConfig, Norms, RopeConfig,
    RopeScaling, real,
};

/// The most layers; thirty times as many as any published model has. What is kept for each of them, before
/// any weight is looked at, would be hundreds of megabytes for a file of some bytes.
const MAX_LAYERS: usize = 4096;

impl Checker<RawConfig> {
    pub(super) fn check(self) -> Result<ModelConfig, LoadError> {
        let family = self.family()?;
        self.refuse_unsupported(family)?;
        let raw = &self.raw;
        // Fillers up to a round size have logits too.
        let vocab_size = self.needed("vocab_size", raw.padded_vocab_size.or(raw.vocab_size))?;
        let heads = self.needed("num_attention_heads", raw.num_attention_heads.or(raw.n_head))?;
        let kv_heads = self.kv_heads(heads)?;
        let hidden_size = self.needed("hidden_size", raw.hidden_size)?;
        let head_dim = self.head_dim(family, hidden_size, heads)?;
        let layers = self.layers()?;
        let mla = self.mla(family)?;
        let rope = self.rope(family, mla.as_ref().map_or(head_dim, |mla| mla.rope_width))?;
        let intermediate_size = match family {
            // TeleChat's class fills the other name with a 1 that nothing reads.
            Family::ChatGlm | Family::TeleChat => raw.ffn_hidden_size.or(raw.intermediate_size),
            _ => raw.intermediate_size.or(raw.ffn_hidden_size),
        };
        let gemma = family == Family::Gemma2;
        Ok(ModelConfig {
            family,
            vocab_size,
            hidden_size,
            intermediate_size: self.needed("intermediate_size", intermediate_size)?,
            layers,
            heads,
            kv_heads,
            head_dim,
            norm_eps: self.norm_eps(family)?,
            tied_embeddings: raw.tie_word_embeddings.unwrap_or(gemma),
            tied_without_head: family == Family::TeleChat && raw.tie_word_embeddings.is_none(),
            biases: self.biases(family),
            windows: self.windows(family, layers)?,
            context_length: self.context_length(family, &rope)?,
            scores: self.scores(family, head_dim, &rope.scaling)?,
            rope,
            norms: Norms {
                heads: matches!(family, Family::Qwen3 | Family::Qwen3Moe),
                after: matches!(family, Family::Glm4 | Family::Gemma2),
                unit_offset: gemma,
            },
            gate: if gemma {
                GateFunction::GeluTanh
            } else {
                GateFunction::Silu
            },
            logit_soft_cap: if gemma {
                self.soft_cap(
                    "final_logit_softcapping",
                    raw.gemma.final_logit_softcapping.or(30.0),
                )?
            } else {
                None
            },
            embedding_factor: if gemma { real(hidden_size).sqrt() } else { 1.0 },
            layout: family.layout(),
            mla: mla.map(Box::new),
            moe: self.moe(family, layers)?.map(Box::new),
            fp8: self.fp8()?,
        })
    }

    /// `architectures` decides; `model_type` stands in where it is absent.
    fn family(&self) -> Result<Family, LoadError> {
        let architecture = self.raw.architectures.as_ref().and_then(|names| names.first());
        let name = architecture.or(self.raw.model_type.as_ref());
        let family = name.and_then(|name| Family::of(name));
        family.ok_or_else(|| LoadError::UnknownArchitecture {
            path: self.path.clone(),
            value: name.map_or_else(|| "(none given)".to_owned(), |name| format!("`{name}`")),
        })
    }

    fn layers(&self) -> Result<usize, LoadError> {
        let raw = &self.raw;
        let given = raw.num_hidden_layers.or(raw.num_layers).or(raw.n_layer);
        let layers = self.needed("num_hidden_layers", given)?;
        if layers <= MAX_LAYERS {
            return Ok(layers);
        }
        Err(self.invalid(
            "num_hidden_layers",
            format!("({layers}) must be at most {MAX_LAYERS}"),
        ))
    }

    fn kv_heads(&self, heads: usize) -> Result<usize, LoadError> {
        let raw = &self.raw;
        let given = raw.num_key_value_heads.or(raw.multi_query_group_num);
        let kv_heads = self.size("num_key_value_heads", given.unwrap_or(heads))?;
        if heads.is_multiple_of(kv_heads) {
            return Ok(kv_heads);
        }
        Err(self.invalid(
            "num_attention_heads",
            format!("({heads}) is not a multiple of num_key_value_heads ({kv_heads})"),
        ))
    }

    fn head_dim(&self, family: Family, hidden_size: usize, heads: usize) -> Result<usize, LoadError> {
        let head_dim = match (self.raw.head_dim.or(self.raw.kv_channels), family) {
            // Of queries; what such files call so is the part that is rotated, if anything.
            (_, Family::DeepSeekV2 | Family::DeepSeekV3) => self.latent_query_width()?,
            (Some(width), _) => width,
            // The reference's defaults for these families are constants, not quotients.
            (None, Family::Qwen3 | Family::Glm | Family::Glm4) => 128,
            (None, Family::Gemma2) => 256,
            (None, _) if hidden_size.is_multiple_of(heads) => hidden_size / heads,
            (None, _) => {
                let problem = format!("({hidden_size}) is not a multiple of num_attention_heads ({heads})");
                return Err(self.invalid("hidden_size", problem));
            }
        };
        let head_dim = self.size("head_dim", head_dim)?;
        if head_dim.is_multiple_of(2) {
            Ok(head_dim)
        } else {
            Err(self.invalid(
                "head_dim",
                format!("({head_dim}) must be even for rotary embeddings"),
            ))
        }
    }

    fn norm_eps(&self, family: Family) -> Result<f32, LoadError> {
        let raw = &self.raw;
        let given = raw
            .rms_norm_eps
            .or(raw.layernorm_epsilon)
            .or(raw.layer_norm_epsilon);
        let norm_eps = given.unwrap_or(match family {
            Family::ChatGlm | Family::TeleChat => 1e-5,
            Family::Glm | Family::Glm4 => 1.562_5e-7,
            _ => 1e-6,
        });
        if norm_eps >= 0.0 && norm_eps.is_finite() {
            Ok(norm_eps)
        } else {
            Err(self.invalid("rms_norm_eps", format!("({norm_eps}) must be 0 or more")))
        }
    }

    fn biases(&self, family: Family) -> Biases {
        let raw = &self.raw;
        let attention = raw.attention_bias.unwrap_or(family == Family::Glm);
        let (qkv, output, gate_up, down) = match family {
            Family::Qwen2 => (true, false, false, false),
            Family::Qwen2Moe => (raw.qkv_bias.unwrap_or(true), false, false, false),
            Family::Qwen3 | Family::Qwen3Moe | Family::Gemma2 => (attention, attention, false, false),
            Family::Llama => {
                let mlp = raw.mlp_bias.unwrap_or(false);
                (attention, attention, mlp, mlp)
            }
            Family::Mistral | Family::Mixtral | Family::DeepSeekV2 | Family::DeepSeekV3 => {
                (false, false, false, false)
            }
            Family::InternLm2 => {
                let bias = raw.bias.unwrap_or(true);
                (bias, bias, false, false)
            }
            Family::Glm | Family::Glm4 => (attention, false, false, false),
            Family::ChatGlm => {
                let all = raw.chat_glm.add_bias_linear.unwrap_or(false);
                let qkv = raw.chat_glm.add_qkv_bias.unwrap_or(false);
                (all || qkv, all, all, all)
            }
            Family::TeleChat => (false, true, false, true),
        };
        Biases {
            qkv,
            output,
            gate_up,
            down,
        }
    }

    fn scores(
        &self,
        family: Family,
        head_dim: usize,
        scaling: &RopeScaling,
    ) -> Result<AttentionScores, LoadError> {
        if family.has_latent_attention() {
            let plain = AttentionScores::of_width(head_dim);
            return Ok(AttentionScores {
                factor: plain.factor * self.mscale(scaling).powi(2),
                ..plain
            });
        }
        if family != Family::Gemma2 {
            return Ok(AttentionScores::of_width(head_dim));
        }
        let gemma = &self.raw.gemma;
        let scalar = gemma.query_pre_attn_scalar.unwrap_or(256.0);
        Ok(AttentionScores {
            factor: 1.0 / self.positive("query_pre_attn_scalar", Some(scalar))?.sqrt(),
            soft_cap: self.soft_cap("attn_logit_softcapping", gemma.attn_logit_softcapping.or(50.0))?,
        })
    }

    /// `None` is no bound.
    fn soft_cap(&self, field: &'static str, given: Option<f64>) -> Result<Option<f64>, LoadError> {
        match given {
            None => Ok(None),
            Some(cap) => self.positive(field, Some(cap)).map(Some),
        }
    }

    /// Refuses what would otherwise be computed wrongly and silently.
    fn refuse_unsupported(&self, family: Family) -> Result<(), LoadError> {
        let raw = &self.raw;
        let (activation, expected) = match family {
            Family::Gemma2 => (
                raw.hidden_activation.as_ref().or(raw.hidden_act.as_ref()),
                "gelu_pytorch_tanh",
            ),
            // The functions of these are not named, or by names of their own.
            Family::ChatGlm | Family::TeleChat => (None, "silu"),
            _ => (raw.hidden_act.as_ref(), "silu"),
        };
        if let Some(activation) = activation.filter(|name| *name != expected) {
            let expected = if family == Family::Gemma2 {
                "only gelu_pytorch_tanh"
            } else {
                "only silu"
            };
            return Err(self.unsupported("hidden_act", activation.clone(), expected));
        }
        self.refuse_other_shapes(family)?;
        let dtype = raw.dtype.as_ref().or(raw.torch_dtype.as_ref());
        match dtype.map(|name| name.trim_start_matches("torch.")) {
            None | Some("float32" | "bfloat16" | "float16") => Ok(()),
            Some(other) => {
                Err(self.unsupported("torch_dtype", other.to_owned(), "float32, bfloat16 or float16"))
            }
        }
    }

    /// Names that several shapes of a model share.
    fn refuse_other_shapes(&self, family: Family) -> Result<(), LoadError> {
        let glm = &self.raw.chat_glm;
        let residual = (
            "apply_residual_connection_post_layernorm",
            glm.apply_residual_connection_post_layernorm == Some(true),
            "the input of a norm as the residual",
        );
        let refused = match family {
            Family::ChatGlm => [
                (
                    "position_encoding_2d",
                    glm.position_encoding_2d == Some(true),
                    "ChatGLM from its second generation on",
                ),
                (
                    "multi_query_attention",
                    glm.multi_query_attention != Some(true),
                    "key heads that several query heads share",
                ),
                ("rmsnorm", glm.rmsnorm == Some(false), "root-mean-square norms"),
                (
                    "post_layer_norm",
                    glm.post_layer_norm == Some(false),
                    "a norm behind the last layer",
                ),
                residual,
                (
                    "original_rope",
                    glm.original_rope == Some(false),
                    "the rotation of published models",
                ),
                (
                    "pre_seq_len",
                    glm.pre_seq_len.is_some(),
                    "models without a trained prefix",
                ),
                (
                    "vision_config",
                    glm.vision_config.is_some(),
                    "models of text alone",
                ),
            ]
            .into_iter()
            .find(|(_, refused, _)| *refused),
            // `logn` scales queries beyond the trained length only, where none are computed.
            Family::TeleChat => [
                (
                    "embed_layernorm",
                    self.raw.tele_chat.embed_layernorm == Some(true),
                    "embeddings that no norm follows",
                ),
                residual,
            ]
            .into_iter()
            .find(|(_, refused, _)| *refused),
            _ => None,
        };
        match refused {
            Some((field, _, expected)) => Err(self.unsupported(field, "this value".to_owned(), expected)),
            None => Ok(()),
        }
    }

    /// The position limit, stretched where the rope scaling is what makes longer sequences work
    /// (linear, dynamic and yarn name the original limit; llama3 configurations the final one).
    fn context_length(&self, family: Family, rope: &RopeConfig) -> Result<u32, LoadError> {
        let positions = self.positions(family)?;
        let stretched = match &rope.scaling {
            RopeScaling::Default | RopeScaling::Llama3 { .. } => real(positions),
            // Here the length is the stretched one.
            RopeScaling::Linear { .. } if family == Family::ChatGlm => real(positions),
            RopeScaling::Linear { factor } | RopeScaling::Dynamic { factor, .. } => real(positions) * factor,
            RopeScaling::Yarn(yarn) => yarn.original_positions * yarn.factor,
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "bounded by the clamp"
        )]
        Ok(stretched.clamp(1.0, f64::from(u32::MAX)) as u32)
    }

    /// How many positions the model was made for, rope scaling aside.
    pub(super) fn positions(&self, family: Family) -> Result<usize, LoadError> {
        let raw = &self.raw;
        let trained = match family {
            Family::ChatGlm => raw.seq_length,
            // Longer ones are rotated in another way.
            Family::TeleChat => raw.tele_chat.training_seqlen.or(raw.seq_length),
            _ => None,
        };
        self.needed("max_position_embeddings", trained.or(raw.max_position_embeddings))
    }

    /// A size that the file must give.
    pub(super) fn needed(&self, field: &'static str, given: Option<usize>) -> Result<usize, LoadError> {
        let given = given.ok_or_else(|| self.invalid(field, "is missing".to_owned()))?;
        self.size(field, given)
    }
}
