{#- Reads only the events that have been built since this table was built. -#}
{{ config(
    enabled=is_loaded('imported_events') or is_loaded('imported_users'),
    materialized='incremental',
    incremental_strategy='delete+insert',
    unique_key=['kind', 'name', 'property', 'type'],
) }}

with imported as (
    {% if is_loaded('imported_events') %}
    select 'events' as kind, name, job_id, properties, {{ quoted('schema') }} as given, built_at
    from {{ ref('fullstory_imports__events') }}
    where name is not null
    {%- if is_incremental() %}
        and built_at > (select coalesce(max(built_at), '1970-01-01') from {{ this }} where kind = 'events')
    {%- endif %}
    {%- endif %}
    {%- if is_loaded('imported_events') and is_loaded('imported_users') %}

    union all
    {% endif %}
    {%- if is_loaded('imported_users') %}
    select
        'users' as kind,
        '' as name,
        job_id,
        properties,
        {{ quoted('schema') }} as given,
        cast('{{ run_started_at.strftime("%Y-%m-%d %H:%M:%S.%f") }}' as {{ sql_type('date') }}) as built_at
    from {{ ref('fullstory_imports__users') }}
    {%- endif %}

),

loaded as (

    select imported.kind, imported.name, imported.job_id, imported.built_at, field.key as property, field.value
    from imported
    {{ json_fields('imported.properties') }}

),

kinds as (

    select loaded.*, {{ json_kind('loaded.value') }} as json_kind from loaded

),

arrays as (

    select * from kinds where json_kind = 'array'

),

elements as (

    select
        arrays.kind,
        arrays.name,
        arrays.job_id,
        arrays.built_at,
        arrays.property,
        {{ type_of('element.value') }} as type
    from arrays
    {{ json_elements('arrays.value') }}

),

given as (

    select
        imported.kind,
        imported.name,
        imported.job_id,
        imported.built_at,
        field.key as property,
        {{ json_text('field.value') }} as type
    from imported
    {{ json_fields(json_get('imported.given', ['properties'])) }}

),

types as (

    -- `none` stands for the event itself, which may have no properties.
    select kind, name, job_id, built_at, '' as property, 'none' as type from imported

    union all

    select kind, name, job_id, built_at, property, {{ type_of('value') }} as type
    from kinds
    where json_kind <> 'array'

    union all

    select kind, name, job_id, built_at, property, case when type = 'json' then 'json' else type || 's' end as type
    from elements

    union all

    select kind, name, job_id, built_at, property, 'nulls' as type from arrays

    union all

    select kind, name, job_id, built_at, property, type
    from given
    where type in ('str', 'int', 'real', 'bool', 'date', 'strs', 'ints', 'reals', 'bools', 'dates')

)

select kind, name, property, type, max(job_id) as example_job_id, max(built_at) as built_at
from types
group by kind, name, property, type
