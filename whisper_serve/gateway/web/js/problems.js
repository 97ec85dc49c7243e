/** Why something failed, in words for people. */

import { bytes, duration, t } from "./i18n.js";

const BY_STATUS = {
  0: "problem_unreachable",
  401: "problem_key",
  404: "problem_not_found",
  408: "problem_slow_upload",
  422: "problem_crash",
  429: "problem_busy",
  502: "problem_unreachable",
  503: "problem_not_ready",
  504: "problem_deadline",
};
const BY_CODE = { model_not_found: "problem_model", too_many_bytes: "problem_share", too_many_requests: "problem_share" };
const AHEAD = { problem_busy: "problem_busy_ahead", problem_share: "problem_share_ahead" };

/** The sentence for an error; what the server said itself stands behind it where it says more. */
export function inWords(error, server) {
  if (error.status === 413) return tooLarge(error, server);
  if (error.status === 400 && error.param === "file") return withDetail("problem_not_audio", error);
  const key = BY_CODE[error.code] ?? BY_STATUS[error.status];
  if (error.ahead && key in AHEAD) return t(AHEAD[key], { duration: duration(error.ahead) });
  return key ? t(key) : withDetail("problem_other", error);
}

function tooLarge(error, server) {
  if (error.code === "upload_too_large") return t("problem_too_large", { limit: bytes(server.config.max_upload_bytes) });
  return withDetail("problem_too_long", error);
}

function withDetail(key, error) {
  return error.message ? `${t(key)} (${error.message})` : t(key);
}
