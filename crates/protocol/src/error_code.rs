//! The contract's business error codes (section 1.4), each with its HTTP status and text.

use http::StatusCode;

/// Generates the enum and its three exhaustive matches from one table, so that a code cannot be
/// added without its number, status and text.
macro_rules! error_codes {
    ($( $(#[$doc:meta])* $name:ident = $number:literal, $status:ident, $text:literal; )*) => {
        /// One error that the API can answer.
        ///
        /// Several variants may share a number where the contract has one number for cases that
        /// differ in status or, historically, in their body.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum ErrorCode { $( $(#[$doc])* $name, )* }

        impl ErrorCode {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$( Self::$name, )*];

            /// The number that stands in `code` on the wire.
            pub const fn number(self) -> u32 {
                match self { $( Self::$name => $number, )* }
            }

            /// The HTTP status of the response.
            pub const fn status(self) -> StatusCode {
                match self { $( Self::$name => StatusCode::$status, )* }
            }

            /// The text used when nothing more specific is known. Texts that were measured on the
            /// wire are word for word; the others are ours.
            pub const fn default_message(self) -> &'static str {
                match self { $( Self::$name => $text, )* }
            }
        }
    };
}

error_codes! {
    /// A record that the request names does not exist.
    RecordNotFound = 20011, BAD_REQUEST, "Record not found.";
    /// No such path, or no such resource under a path.
    NotFound = 20011, NOT_FOUND, "Not Found";
    /// The path exists, but not with this method.
    MethodNotAllowed = 20011, METHOD_NOT_ALLOWED, "Method Not Allowed";
    /// The catalogue has no such model.
    ModelNotExist = 20012, BAD_REQUEST, "Model does not exist. Please check it carefully.";
    /// The path names a model that the catalogue does not have.
    ModelNotFound = 20012, NOT_FOUND, "Model does not exist. Please check it carefully.";
    /// `model` is missing.
    ModelRequired = 20013, BAD_REQUEST, "model: Field required";
    /// `messages` is missing or empty.
    MessageRequired = 20014, BAD_REQUEST, "messages: Field required";
    /// A parameter has the wrong type, form or range.
    ParamInvalid = 20015, BAD_REQUEST, "The parameter is invalid. Please check again.";
    /// The request body did not arrive in time; no code of its own in the contract.
    BodyTimeout = 20015, REQUEST_TIMEOUT, "The request body did not arrive in time.";
    /// The change contradicts something that is stored; only the operator API answers it, and the
    /// contract has no code of its own for it.
    Conflict = 20015, CONFLICT, "The change conflicts with something that exists.";
    /// `prompt` is missing.
    PromptRequired = 20016, BAD_REQUEST, "prompt: Field required";
    /// `image` is missing.
    ImageRequired = 20017, BAD_REQUEST, "image: Field required";
    /// `input` is missing.
    InputRequired = 20018, BAD_REQUEST, "input: Field required";
    /// `query` is missing.
    QueryRequired = 20019, BAD_REQUEST, "query: Field required";
    /// `documents` is missing.
    DocumentsRequired = 20020, BAD_REQUEST, "documents: Field required";
    /// Prohibited or sensitive content.
    Nsfw = 20021, UNAVAILABLE_FOR_LEGAL_REASONS, "The content is prohibited or sensitive.";
    /// An audio file could not be fetched.
    FileNotFound = 20022, BAD_REQUEST, "The audio file could not be fetched.";
    /// Base64 content is malformed.
    InvalidBase64Content = 20023, BAD_REQUEST, "The content is not valid base64.";
    /// The model cannot answer in JSON mode.
    JsonModeNotSupported = 20024, BAD_REQUEST, "Json mode is not supported for this model.";
    /// `image_size` is not a string.
    BadImageSizeType = 20025, BAD_REQUEST, "image_size must be a string such as 512x512.";
    /// `image_size` has the wrong form.
    BadImageSizeFormat = 20026, BAD_REQUEST, "image_size must have the form 512x512.";
    /// `prompt_enhancement` is not a boolean.
    BadPromptEnhancementType = 20027, BAD_REQUEST, "prompt_enhancement must be a boolean.";
    /// The number of inference steps is not positive.
    BadInferenceStepsValue = 20028, BAD_REQUEST, "num_inference_steps must be a positive integer.";
    /// A message has a part that is neither text nor image.
    MessageFormatInvalid = 20029, BAD_REQUEST, "Message parts must be text or image URLs.";
    /// The model cannot continue a prefix.
    PrefixNotSupported = 20030, BAD_REQUEST, "Prefix continuation is not supported for this model.";
    /// The model cannot fill in the middle.
    FimNotSupported = 20031, BAD_REQUEST, "FIM completion is not supported for this model.";
    /// FIM and JSON mode were asked for together.
    FimJsonMode = 20032, BAD_REQUEST, "FIM completion cannot be combined with json mode.";
    /// A prefix and JSON mode were asked for together.
    PrefixJsonMode = 20033, BAD_REQUEST, "Prefix continuation cannot be combined with json mode.";
    /// `seed` is not usable.
    InvalidSeed = 20034, BAD_REQUEST, "seed must be a positive integer.";
    /// `batch_size` is not usable.
    InvalidBatchSize = 20035, BAD_REQUEST, "batch_size must be a positive integer.";
    /// The model cannot stream.
    StreamingNotSupported = 20036, BAD_REQUEST, "Streaming is not supported for this model.";
    /// The model cannot call functions.
    FunctionCallNotSupported = 20037, BAD_REQUEST, "Function call is not supported for this model.";
    /// An image URL cannot be reached or read.
    InvalidImageUrl = 20038, BAD_REQUEST, "The image URL is invalid or cannot be reached.";
    /// The model does not serve `/completions`.
    CompletionsNotSupported = 20039, BAD_REQUEST, "Completions are not supported for this model.";
    /// An image cannot be read.
    InvalidImage = 20040, BAD_REQUEST, "The image is invalid.";
    /// Images were sent to a model that reads only text.
    NotVlm = 20041, BAD_REQUEST, "The model is not a VLM (Vision Language Model). Please use text-only prompts.";
    /// The request or one of its inputs is too large.
    EntityTooLarge = 20042, PAYLOAD_TOO_LARGE, "The request is too large.";
    /// Images, audio and video of one request are too large together.
    TooLargeMultiModalPayload = 20043, PAYLOAD_TOO_LARGE, "Images, audio and video must have less than 500 MB in total.";
    /// An audio URL or base64 text cannot be read.
    InvalidAudio = 20044, BAD_REQUEST, "The audio is invalid.";
    /// Reference audio is too large.
    TooLargeAudioForTts = 20045, PAYLOAD_TOO_LARGE, "The reference audio must have less than 5 MB.";
    /// Reference audio is missing.
    NoReferenceAudioForTts = 20046, BAD_REQUEST, "Reference audio is required.";
    /// The voice is not usable.
    InvalidVoice = 20047, BAD_REQUEST, "Invalid voice.";
    /// A custom voice's name has the wrong form.
    InvalidSuffix = 20048, BAD_REQUEST, "customName may have letters, digits, _ and -, at most 64.";
    /// Uploaded audio is not base64.
    InvalidUploadAudio = 20049, BAD_REQUEST, "The uploaded audio must be base64.";
    /// The text to speak is too long.
    TooLargeTextForTts = 20050, BAD_REQUEST, "The text must have at most 100000 characters.";
    /// Voice cloning needs a verified account.
    NeedRealNameForVoiceCloning = 20051, FORBIDDEN, "Voice cloning needs a verified account.";
    /// Neither a voice nor references were given.
    VoiceNotSet = 20052, BAD_REQUEST, "Either voice or references must be given.";
    /// Both a voice and references were given.
    EitherVoiceOrReference = 20053, BAD_REQUEST, "Only one of voice and references may be given.";
    /// The chunk length is out of range.
    InvalidChunkLengthForTts = 20054, BAD_REQUEST, "The chunk length must be between 100 and 300.";
    /// The model takes images only as base64.
    OnlyBase64ImageSupported = 20055, BAD_REQUEST, "The model supports base64 images only.";
    /// A workflow's JSON is malformed.
    BadWorkflowJson = 20056, BAD_REQUEST, "The workflow is not valid JSON.";
    /// `requestId` is missing.
    RequestIdRequired = 20057, BAD_REQUEST, "requestId: Field required";
    /// The model has no asynchronous interface.
    AsyncNotSupported = 20058, BAD_REQUEST, "The model does not support asynchronous requests.";
    /// The voice does not exist.
    VoiceNotExist = 20059, BAD_REQUEST, "The voice does not exist.";
    /// `top_k` is out of range.
    InvalidTopK = 20060, BAD_REQUEST, "top_k must be -1 or between 1 and 100.";
    /// The speed is out of range.
    InvalidProsodySpeed = 20061, BAD_REQUEST, "speed must be between 0.25 and 4.";
    /// The gain is out of range.
    InvalidProsodyVolume = 20062, BAD_REQUEST, "gain must be between -10 and 10.";
    /// A task is unknown or has expired.
    TaskNotExistOrExpired = 20063, NOT_FOUND, "The task does not exist or has expired.";
    /// A `LoRA` of an image request is malformed.
    ImageLoraInvalid = 20064, BAD_REQUEST, "The LoRA is invalid.";
    /// Too few or too many `LoRA`s.
    ImageLoraUnexpectedCount = 20065, BAD_REQUEST, "The number of LoRAs must be between 1 and 3.";
    /// The model answers with one choice only.
    NGreaterThanOneNotSupported = 20066, BAD_REQUEST, "n must be 1 for this model.";
    /// A file's purpose is not known.
    UserFilePurposeInvalid = 20067, BAD_REQUEST, "The purpose of the file is invalid.";
    /// A file id is malformed.
    UserFileIdInvalid = 20068, BAD_REQUEST, "The file id is invalid.";
    /// A file is too large.
    UserFileTooLarge = 20069, BAD_REQUEST, "The file is too large.";
    /// A file is not JSON lines.
    UserFileNotJsonl = 20070, BAD_REQUEST, "Only jsonl files are supported.";
    /// A line of a file is malformed.
    UserFileBadLine = 20071, BAD_REQUEST, "A line of the file is invalid.";
    /// A `custom_id` is repeated.
    UserFileRepeatedCustomId = 20072, BAD_REQUEST, "custom_id must be unique in the file.";
    /// A file is empty.
    UserFileEmpty = 20073, BAD_REQUEST, "The file is empty.";
    /// A file has too many lines.
    UserFileTooManyLines = 20074, BAD_REQUEST, "The file has too many lines.";
    /// `limit` of a list is not usable.
    UserFileLimitInvalid = 20075, BAD_REQUEST, "limit must be a positive integer.";
    /// `after` of a list is not usable.
    UserFileAfterInvalid = 20076, BAD_REQUEST, "after is invalid.";
    /// `order` of a list is not usable.
    UserFileOrderInvalid = 20077, BAD_REQUEST, "order must be asc or desc.";
    /// The file does not exist.
    UserFileNotExist = 20078, BAD_REQUEST, "The file does not exist.";
    /// The request carries no file.
    UserFileMissing = 20079, BAD_REQUEST, "file: Field required";
    /// The file cannot be read.
    UserFileUnreadable = 20080, BAD_REQUEST, "The file cannot be read.";
    /// Too many choices were asked for.
    TooLargeN = 20081, BAD_REQUEST, "n must be at most 20.";
    /// The output format is not known for speech.
    FileFormatNotSupportedForTts = 20082, BAD_REQUEST, "Only wav, mp3, pcm and opus are supported.";
    /// The input format is not known for transcription.
    FileFormatNotSupportedForStt = 20083, BAD_REQUEST, "Only wav, mp3, pcm, opus and webm are supported.";
    /// Anthropic-style thinking without a budget.
    ThinkingBudgetMissing = 20084, BAD_REQUEST, "thinking.budget_tokens: Field required";
    /// Anthropic-style thinking of an unknown type.
    ThinkingTypeInvalid = 20085, BAD_REQUEST, "thinking.type must be enabled or disabled.";
    /// A thinking budget that is not positive.
    ThinkingBudgetInvalid = 20086, BAD_REQUEST, "thinking.budget_tokens must be a positive integer.";
    /// A batch file is too large.
    TooLargeBatchFile = 20087, BAD_REQUEST, "The batch file must have at most 1 GB.";
    /// The model has no batch interface.
    BatchInferenceNotSupported = 20088, BAD_REQUEST, "Batch inference is not supported for this model.";
    /// `max_tokens` is not usable.
    InvalidMaxTokens = 20089, BAD_REQUEST, "max_tokens is invalid.";
    /// A request id of a forwarded call is not known.
    UpstreamRequestIdNotFound = 20090, BAD_REQUEST, "The request id does not exist.";
    /// The endpoint was taken out of service.
    EndpointDeprecated = 20092, GONE, "This endpoint is deprecated and is no longer available.";
    /// The operation is not allowed.
    IllegalOperation = 30000, FORBIDDEN, "The operation is not allowed.";
    /// Nothing is left to pay with.
    BalanceNotEnough = 30001, FORBIDDEN, "Sorry, your account balance is insufficient";
    /// The account is disabled.
    UserDisabled = 30002, FORBIDDEN, "The account is disabled.";
    /// The model is disabled.
    ModelDisabled = 30003, FORBIDDEN, "Model disabled.";
    /// The model belongs to somebody else.
    NotModelOwner = 30004, FORBIDDEN, "You have no access to this model.";
    /// The model needs a verified account.
    NotVerified = 30005, FORBIDDEN, "The model needs a verified account.";
    /// The account's role does not allow this.
    NotRightRole = 30006, FORBIDDEN, "Your role has no access to this.";
    /// The account's usage level does not allow this.
    NotRightTier = 30007, FORBIDDEN, "Your usage level has no access to this model.";
    /// The account does not exist.
    UserNotExist = 30008, FORBIDDEN, "The account does not exist.";
    /// Nobody is signed in.
    UserNotLogin = 30009, FORBIDDEN, "You are not signed in.";
    /// The model is not open yet.
    NotOpenYet = 30010, FORBIDDEN, "The model is not open yet.";
    /// The model can be paid only from the charged balance.
    OnlyByChargeBalance = 30011, FORBIDDEN, "The model needs a paid balance.";
    /// The account has expired.
    UserExpired = 30012, FORBIDDEN, "The account has expired.";
    /// The caller's address is not allowed.
    AddressNotAllowed = 30013, FORBIDDEN, "Your IP address is not allowed.";
    /// No key was sent.
    TokenMissing = 30014, UNAUTHORIZED, "Token is invalid.";
    /// The key is not valid (any more).
    TokenInvalid = 30014, UNAUTHORIZED, "Token is invalid.";
    /// The model service failed (contract: 50500, no name given).
    ModelService50500 = 50500, INTERNAL_SERVER_ERROR, "Request failed: Unknown error.";
    /// The model service timed out (contract: 50501).
    ModelServiceTimeout50501 = 50501, GATEWAY_TIMEOUT, "The model service did not answer in time.";
    /// The model service failed (contract: 50502, no name given).
    ModelService50502 = 50502, INTERNAL_SERVER_ERROR, "Request failed: Unknown error.";
    /// The model service failed (contract: 50503, no name given).
    ModelService50503 = 50503, INTERNAL_SERVER_ERROR, "Request failed: Unknown error.";
    /// The model service timed out (contract: 50504).
    ModelServiceTimeout50504 = 50504, GATEWAY_TIMEOUT, "The model service did not answer in time.";
    /// Every replica of the model is busy and its queue is full.
    ModelServiceTooBusy = 50505, SERVICE_UNAVAILABLE, "Model service overloaded. Please try again later.";
    /// The model service timed out (contract: 50506).
    ModelServiceTimeout50506 = 50506, GATEWAY_TIMEOUT, "The model service did not answer in time.";
    /// The engine failed on this request.
    ModelServiceFailed = 50507, INTERNAL_SERVER_ERROR, "Request failed: Unknown error.";
    /// No replica of the model is running.
    ModelServiceUnavailable = 50508, SERVICE_UNAVAILABLE, "System is too busy now. Please try again later.";
    /// The model service timed out (contract: 50509).
    ModelServiceTimeout50509 = 50509, GATEWAY_TIMEOUT, "The model service did not answer in time.";
    /// The model service failed (contract: 50510, no name given).
    ModelService50510 = 50510, INTERNAL_SERVER_ERROR, "Request failed: Unknown error.";
    /// Requests per minute.
    RpmLimit = 50601, TOO_MANY_REQUESTS, "Request was rejected due to rate limiting. Details: RPM limit reached.";
    /// Tokens per minute.
    TpmLimit = 50602, TOO_MANY_REQUESTS, "Request was rejected due to rate limiting. Details: TPM limit reached.";
    /// The caller is shut out for a while.
    Banned = 50603, SERVICE_UNAVAILABLE, "System is too busy now. Please try again later.";
    /// Images per minute.
    IpmLimit = 50604, TOO_MANY_REQUESTS, "Request was rejected due to rate limiting. Details: IPM limit reached.";
    /// Images per day.
    IpdLimit = 50605, TOO_MANY_REQUESTS, "Request was rejected due to rate limiting. Details: IPD limit reached.";
    /// Requests per day of an unverified account.
    UnverifiedLimit = 50606, TOO_MANY_REQUESTS, "Request was rejected due to rate limiting. Details: RPD limit reached. Could only send 100 requests per day without real name verification";
    /// Requests per hour.
    RphLimit = 50607, TOO_MANY_REQUESTS, "Request was rejected due to rate limiting. Details: RPH limit reached.";
    /// Requests per day.
    RpdLimit = 50608, TOO_MANY_REQUESTS, "Request was rejected due to rate limiting. Details: RPD limit reached.";
    /// Silica itself failed. Stands for 60000 to 60015, which mean the same to a client.
    Internal = 60000, INTERNAL_SERVER_ERROR, "Request processing failed due to an unknown error.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_documented_cases_share_a_number() {
        let mut shared: Vec<u32> = ErrorCode::ALL.iter().map(|code| code.number()).collect();
        shared.sort_unstable();
        let repeated: Vec<u32> = shared
            .windows(2)
            .filter(|pair| pair[0] == pair[1])
            .map(|pair| pair[0])
            .collect();
        assert_eq!(repeated, [20011, 20011, 20012, 20015, 20015, 30014]);
    }

    #[test]
    fn every_number_lies_in_the_block_of_its_status() {
        for code in ErrorCode::ALL {
            let status = code.status().as_u16();
            let fits = match code.number() {
                20_000..30_000 => matches!(status, 400 | 404 | 405 | 408 | 409 | 410 | 413 | 451 | 403),
                30_000..50_000 => matches!(status, 401 | 403),
                50_500..50_600 => matches!(status, 500 | 503 | 504),
                50_600..60_000 => matches!(status, 429 | 503),
                _ => status == 500,
            };
            assert!(fits, "{code:?}");
            assert!(!code.default_message().is_empty(), "{code:?}");
        }
    }
}
