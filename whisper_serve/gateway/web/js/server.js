/** What the page knows of its server: limits and languages. */

export class Server {
  /** `config` is `page/config.json`. */
  constructor(config) {
    this.config = config;
    this.codes = Object.fromEntries(Object.entries(config.languages).map(([code, name]) => [name, code]));
  }

  isUnspaced(englishName) {
    return this.config.unspaced.includes(this.codes[englishName]);
  }

  /** The code of a language that the API calls by its English name; undefined where nobody spoke. */
  codeOf(englishName) {
    return this.codes[englishName];
  }

  isTooLarge(file) {
    return file.size > this.config.max_upload_bytes;
  }
}
